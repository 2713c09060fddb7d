DROP TABLE ai_content, ai_conversations, ai_agents;
