package orchestrator

import (
	"context"
	"errors"
	"strings"

	"platter/orchestrator/guest"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/tree"
)

// treeLab boots guests on the hypervisor of a root tree. The tree is entered for the first guest, and anew after leave or when its session
// has died: a session does not see what the host mounts later.
type treeLab struct {
	*liveLab
	tree    *tree.Tree
	program string           // platter's own executable
	session *tree.Session    // nil until the tree is entered
	facts   hypervisor.Facts // of its libvirt
}

func newTreeLab(t *tree.Tree, program string, image *guest.Image, work *workdir) *treeLab {
	lab := newLiveLab(nil, image, work, "")
	lab.tag = "-" + t.Name
	return &treeLab{liveLab: lab, tree: t, program: program}
}

// Boot implements Lab.
func (l *treeLab) Boot(ctx context.Context, b Boot) (Machine, error) {
	if err := l.enter(ctx); err != nil {
		return nil, err
	}
	return l.liveLab.Boot(ctx, b)
}

// enter makes a session of the tree with its libvirt, unless there is one that is alive. Guests find in it the work directory, with the
// simulated disk if that is mounted now, and the guest image.
func (l *treeLab) enter(ctx context.Context) error {
	if l.session != nil && l.session.Err() == nil {
		return nil
	}
	err := l.leave()
	if err != nil {
		return err
	}
	if l.session, err = l.tree.Enter(ctx, l.program, []string{l.work.path, l.image.Dir}); err != nil {
		return err
	}
	if err = l.session.StartLibvirt(ctx); err == nil {
		l.host, err = hypervisor.ConnectBelow(ctx, l.session.Root())
	}
	if err != nil {
		return errors.Join(err, l.leave())
	}
	return nil
}

// leave ends the session, and with it its libvirt and any guest. What was saved stays.
func (l *treeLab) leave() error {
	if l.session == nil {
		return nil
	}
	err := l.session.Close()
	if l.host != nil {
		err = errors.Join(err, l.host.Close()) // its daemon is dead: this waits for nothing
	}
	l.session, l.host = nil, nil
	return err
}

// says runs a command in the session and returns what it says.
func (l *treeLab) says(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	err := l.session.Run(ctx, tree.Command{Args: args, Dir: "/", Stdout: &out})
	return out.String(), err
}
