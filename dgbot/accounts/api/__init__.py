"""The REST faces of users: logins, personal tokens, the own account."""
