"""What steps share: settings, clients, messages, storage, records and errors."""
