"""Schemathesis asks a running server everything its OpenAPI document allows, and much that it does not."""
