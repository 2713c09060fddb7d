DELETE FROM workflows WHERE id IN (SELECT md5('sample-workflow-' || n)::uuid FROM generate_series(1, 3) AS n);
DELETE FROM profiles WHERE user_id IN (SELECT md5('sample-user-' || n)::uuid FROM generate_series(1, 3) AS n);
DELETE FROM organization_members WHERE organization_id IN (SELECT md5('sample-organization-' || n)::uuid FROM generate_series(1, 3) AS n);
DELETE FROM organizations WHERE id IN (SELECT md5('sample-organization-' || n)::uuid FROM generate_series(1, 3) AS n);
-- the audit log of what never was
DELETE FROM audit_log WHERE row_id IN (SELECT md5(kind || n)::uuid FROM unnest(ARRAY['sample-organization-', 'sample-user-']) AS kind, generate_series(1, 3) AS n);
