/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In the place of libbpf's header, see bpf_helpers.h: fields are where the compiler put them. */
#ifndef SIM_BPF_CORE_READ_H
#define SIM_BPF_CORE_READ_H

#define BPF_CORE_READ(src, field) ((src)->field)
#define BPF_CORE_READ_INTO(to, src, field) (*(to) = (typeof(*(to)))(src)->field)
#define BPF_CORE_READ_BITFIELD(src, field) ((src)->field)
#define BPF_CORE_READ_BITFIELD_PROBED(src, field) ((src)->field)

#endif
