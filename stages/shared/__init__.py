"""What more than one stage needs, one small file per thing."""
