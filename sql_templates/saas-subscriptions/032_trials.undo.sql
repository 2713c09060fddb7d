DROP TABLE user_onboarding, subscription_trials;
