DROP TABLE processing_templates, workspace_settings;
