DROP TABLE api_key_management;
