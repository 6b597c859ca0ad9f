"""Where results lie: Parquet files behind Django's storages, local or in a bucket. An adapter; it knows no models."""
