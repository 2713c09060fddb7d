-- Rows that the constraints of 036 to 038 would refuse.
SELECT (SELECT count(*) FROM orders WHERE NOT (quantity > 0 AND amount >= 0))
  + (SELECT count(*) FROM ticket_categories WHERE NOT (price >= 0 AND quantity_total >= 0 AND quantity_sold >= 0))
  + (SELECT count(*) FROM sponsor_deals WHERE NOT amount >= 0)
