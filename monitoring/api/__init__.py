"""The REST faces of monitoring: logs, schedules, health, backups."""
