"""Static files: hashed and compressed once collected, under their plain names before."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class CollectedOrPlainStorage(CompressedManifestStaticFilesStorage):
    """Uses the manifest when there is one; tests and commands need no collectstatic."""

    manifest_strict = False

    def stored_name(self, name: str) -> str:
        """The hashed name of a collected file, otherwise the name itself."""
        if not self.hashed_files:
            return name
        return super().stored_name(name)
