DROP TABLE campaigns, workflow_runs, workflows;
