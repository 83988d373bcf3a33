"""Programs that users copy beside their own, to print what ``schedule-grpc import`` reads; of the standard library."""
