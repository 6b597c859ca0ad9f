"""The OpenAPI document as text: `python -m dgbot.api_document docs/openapi.yaml`. It needs no database."""

import os
import sys
from pathlib import Path


def text() -> str:
    """YAML, in English, validated. Raises what the validator raises."""
    from django.utils.translation import override
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiYamlRenderer
    from drf_spectacular.validation import validate_schema

    with override("en"):
        document = SchemaGenerator().get_schema(request=None, public=True)
        validate_schema(document)
        rendered: bytes = OpenApiYamlRenderer().render(document, renderer_context={})
    return rendered.decode()


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")
    django.setup()
    Path(sys.argv[1]).write_text(text())
