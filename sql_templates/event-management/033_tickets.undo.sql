-- Tickets that were issued are their customers': they stay.
DROP FUNCTION confirm_payment(text), purchase_tickets(uuid, integer, text, text);
DROP TRIGGER orders_tickets ON orders;
DROP FUNCTION issue_tickets();
