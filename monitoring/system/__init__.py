"""How the platform itself fares: readings of its parts, alarms that begin and end, uptime, answers of the web server, KPIs."""
