/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_ADOPT_H
#define IPN_MANAGER_ADOPT_H

struct errtext;
struct fabric;

/*
 * Makes networks and nodes from the maps, and removes what is half made. The second part follows
 * when there is an event loop. A phase that fails is named in *e.
 */
int adopt(struct fabric *f, struct errtext *e);
int adopt_with_loop(struct fabric *f, struct errtext *e);

/*
 * The other way: lets go of the objects, and the fabric stands as it is in the kernel. The first
 * part ends what sessions may still refer to, so they are freed between the two.
 */
void fabric_close(struct fabric *f);
void fabric_free(struct fabric *f);

#endif
