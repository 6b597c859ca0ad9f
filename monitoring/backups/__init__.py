"""Backups: made, proven by a drill, restored, cleaned up. Each is a file with its checksum and its contents beside it.

    <folder>/dgbot-postgres-20261121T000000Z.dump           pg_dump's custom format
    <folder>/dgbot-postgres-20261121T000000Z.dump.sha256    as `sha256sum -c` reads it
    <folder>/dgbot-postgres-20261121T000000Z.dump.json      what is in it: every table's rows and checksum

The private key that opens exchange keys is in none of them: a backup alone opens no account.
"""
