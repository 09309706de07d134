"""Which node a call goes to. Knows nodes by a Protocol and requests by their ids; protobuf never comes here."""
