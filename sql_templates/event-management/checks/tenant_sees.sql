-- As the application, for one organization: rows too many and too few, and how many there are to see. The dashboard is not bound by the policies.
SELECT abs((SELECT count(*) FROM events) - d.events) + abs((SELECT count(*) FROM orders) - d.orders)
  + abs((SELECT count(*) FROM tickets) - d.tickets) + abs((SELECT count(*) FROM tasks) - d.tasks)
  + abs((SELECT count(*) FROM organizations) - 1) + (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM integration_logs),
  d.events + d.orders
FROM organization_dashboard AS d
