"""Mail to recipients and notices to senders: what each says, and the queue that it waits in."""
