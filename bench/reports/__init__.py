"""From records to pages: tables and figures as pure functions, and their verification."""
