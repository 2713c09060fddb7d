-- The schema that the plan says exists before it starts: one pool of credits for each organization.
CREATE TABLE plans (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE, price_eur numeric(10,2) NOT NULL, total_credits integer NOT NULL);
CREATE TABLE organizations (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, plan_id uuid REFERENCES plans(id), created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE organization_credits (organization_id uuid PRIMARY KEY REFERENCES organizations(id) ON DELETE CASCADE, plan_name text, total_credits integer NOT NULL, credits_remaining integer NOT NULL CHECK (credits_remaining >= 0), cycle_end_date date, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE credit_actions (action_type text PRIMARY KEY, credits_cost integer NOT NULL CHECK (credits_cost > 0), provider_cost_eur numeric(10,5) NOT NULL, description text);
CREATE TABLE credit_consumption_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations(id) ON DELETE CASCADE, action_type text NOT NULL REFERENCES credit_actions(action_type), credits integer NOT NULL, cost_eur numeric(10,5) NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION consume_credits_rpc(p_organization_id uuid, p_action_type text) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path=public AS $$
DECLARE a credit_actions%ROWTYPE; r integer;
BEGIN
  SELECT * INTO a FROM credit_actions WHERE action_type = p_action_type;
  IF NOT FOUND THEN RETURN jsonb_build_object('success',false,'error','unknown action'); END IF;
  UPDATE organization_credits SET credits_remaining = credits_remaining - a.credits_cost, updated_at = now()
   WHERE organization_id = p_organization_id AND credits_remaining >= a.credits_cost RETURNING credits_remaining INTO r;
  IF NOT FOUND THEN RETURN jsonb_build_object('success',false,'error','insufficient credits'); END IF;
  INSERT INTO credit_consumption_log(organization_id,action_type,credits,cost_eur) VALUES (p_organization_id,p_action_type,a.credits_cost,a.provider_cost_eur);
  RETURN jsonb_build_object('success',true,'remaining_credits',r);
END $$;
