package lab

func ikev1Scenarios() []Scenario { return nil }
