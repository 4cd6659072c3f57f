"""``python -m kmpl.commands.up_prepare POSTGRES STORE``: databases and bucket, before containers start servers."""

import os
import sys
from urllib.parse import urlsplit

from kmpl.commands.up_elsewhere import Elsewhere
from kmpl.errors import StoreError, UserError
from kmpl.runtime.addresses import shown


def prepare(elsewhere: Elsewhere) -> None:
    """Make the databases, Optuna's tables and, at an S3 server of one's own, the bucket, where they are missing.

    Raises:
        UserError: a server does not answer, or refuses.
    """
    from kmpl import tuning  # slow to import

    elsewhere.check()
    elsewhere.make_databases()
    tuning.make_studies(elsewhere.databases()["optuna"])
    if elsewhere.store.startswith("s3:") and os.environ.get("AWS_ENDPOINT_URL"):
        make_bucket(elsewhere.store)


def make_bucket(store: str) -> None:
    """Make the bucket of a store's address, unless it is there.

    Raises:
        UserError: the server does not answer, or refuses.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    name = urlsplit(store).netloc
    client = boto3.client("s3")
    try:
        if name not in {one["Name"] for one in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"the bucket of {shown(store)} cannot be made: {error}", shown(store)) from error


if __name__ == "__main__":
    try:
        prepare(Elsewhere(postgres=sys.argv[1], store=sys.argv[2]))
    except UserError as error:
        sys.exit(f"kmpl: {error}")
