"""Imported first: gRPC leaves the children of this process alone."""

import os

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
