"""Run the Pulumi program without a cloud."""
