CREATE INDEX CONCURRENTLY idx_ai_sessions_user_status ON ai_analysis_sessions (user_id, status);
CREATE INDEX CONCURRENTLY idx_portfolios_user_default ON portfolios (user_id, is_default);
