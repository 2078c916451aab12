"""Who may come in: accounts, logins, roles, secrets, limits."""
