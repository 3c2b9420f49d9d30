package lab

func refusalScenarios() []Scenario { return nil }
