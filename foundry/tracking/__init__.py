"""All that is known of DVC: dvc.lock, its cache, versions, audit, and pruning."""
