package lab

func silenceScenarios() []Scenario { return nil }
