-- Products that are not the same in the new table, value by value.
SELECT count(*) FROM products AS p LEFT JOIN stripe_products AS s ON s.stripe_product_id = p.id
WHERE s.stripe_product_id IS NULL
  OR (coalesce(p.name, p.id), p.description, p.active, p.metadata) IS DISTINCT FROM (s.name, s.description, s.active, s.stripe_metadata)
