"""Made-up exports of Paris Wi-Fi."""
