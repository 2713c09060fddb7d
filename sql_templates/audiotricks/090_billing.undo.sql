DROP TABLE billing_records, workspace_subscriptions, subscription_plans;
