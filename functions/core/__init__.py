"""What every step uses: settings, clients, messages, storage, records and errors."""
