"""What is handed to recipients on paper: QR codes, and the letter."""
