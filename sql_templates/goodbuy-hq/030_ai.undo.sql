DROP TABLE IF EXISTS portfolio_businesses, portfolios, ai_analysis_sessions;
