-- The plan loads its sample data into whatever database it is pointed at. Ids that say what they are, so that the rollback finds these and no others.
INSERT INTO organizations (id, name) SELECT md5('sample-organization-' || n)::uuid, 'Sample organization ' || n FROM generate_series(1, 3) AS n;
INSERT INTO organization_members (organization_id, user_id, role)
SELECT md5('sample-organization-' || n)::uuid, md5('sample-user-' || n)::uuid, 'owner' FROM generate_series(1, 3) AS n;
INSERT INTO profiles (user_id, full_name, skills) SELECT md5('sample-user-' || n)::uuid, 'Sample user ' || n, ARRAY['catering'] FROM generate_series(1, 3) AS n;
INSERT INTO workflows (id, organization_id, on_status, task_title)
SELECT md5('sample-workflow-' || n)::uuid, md5('sample-organization-' || n)::uuid, 'confirmed', 'Tell the press' FROM generate_series(1, 3) AS n;
