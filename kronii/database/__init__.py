"""PostgreSQL: how sessions are opened, what they are asked, and what is true only under a lock."""
