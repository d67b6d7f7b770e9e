"""What requests are made from: a manifest, a table, a folder of files, an earlier job. All become lines."""
