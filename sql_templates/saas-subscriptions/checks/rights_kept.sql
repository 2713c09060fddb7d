-- Rights that somebody has on a renamed table, and not on the view that has its name now, or not on its successor.
SELECT count(*)
FROM (VALUES ('stripe_customers_old', 'customers'), ('stripe_customers_old', 'stripe_customers'), ('stripe_products_old', 'products'),
  ('stripe_products_old', 'stripe_products'), ('payment_methods', 'stripe_payment_methods')) AS names (old_name, new_name)
JOIN pg_class AS o ON o.oid = to_regclass(old_name) JOIN pg_class AS n ON n.oid = to_regclass(new_name)
CROSS JOIN LATERAL aclexplode(coalesce(o.relacl, acldefault('r', o.relowner))) AS had
WHERE o.relowner <> n.relowner OR NOT EXISTS (
  SELECT FROM aclexplode(coalesce(n.relacl, acldefault('r', n.relowner))) AS has
  WHERE has.grantee = had.grantee AND has.privilege_type = had.privilege_type AND has.is_grantable >= had.is_grantable)
