DROP TABLE audio_projects;
