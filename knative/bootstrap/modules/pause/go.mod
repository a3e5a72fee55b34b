module ingot.dev/bootstrap/pause

go 1.25.0
