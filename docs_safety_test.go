package castray_test

import "testing"

// TestEverySafetyRuleHasATest wants every rule of the design named by at least one test, so that none is lost when
// tests are renamed or removed. What those tests assert is theirs.
func TestEverySafetyRuleHasATest(t *testing.T) {
	named := make([]bool, len(safetyRules)+1)
	for _, c := range readChecks(t) {
		for _, n := range c.rules {
			if n < len(named) {
				named[n] = true
			}
		}
	}
	for i, rule := range safetyRules {
		if !named[i+1] {
			t.Errorf("no test names S%d in its name: %s", i+1, rule)
		}
	}
}
