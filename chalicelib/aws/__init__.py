"""The only room that knows the AWS SDK: queues and pushes."""
