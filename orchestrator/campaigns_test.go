package orchestrator

import (
	"testing"

	"platter/cell"
	"platter/matrices"
	"platter/orchestrator/crash"
	"platter/results"
)

func TestACampaignOfWhichARecordIsMissingIsMadeAgain(t *testing.T) {
	safety := &matrices.Safety{Classes: []string{cell.HostCrash, cell.PowerLoss}, DriveCaches: []string{"volatile", "protected"}}
	record := func(of, class, drive, status string) results.Safety {
		return results.Safety{Cell: of, Class: class, DriveCache: drive, Status: status}
	}
	all := func(of, last string) []results.Safety {
		return []results.Safety{
			record(of, cell.HostCrash, "volatile", results.OK), record(of, cell.HostCrash, "protected", results.OK),
			record(of, cell.PowerLoss, "volatile", results.OK), record(of, cell.PowerLoss, "protected", last),
		}
	}
	var campaigns []crash.Campaign
	for _, id := range []string{"whole", "failed", "half", "none"} {
		campaigns = append(campaigns, crash.Campaign{Cell: cell.Cell{ID: id}})
	}
	records := append(append(all("whole", results.OK), all("failed", results.Failed)...), all("half", results.OK)[:3]...)
	var left []string
	for _, c := range unjudged(campaigns, safety, records) {
		left = append(left, c.Cell.ID)
	}
	if len(left) != 3 || left[0] != "failed" || left[1] != "half" || left[2] != "none" {
		t.Errorf("left to do: %v", left)
	}
}
