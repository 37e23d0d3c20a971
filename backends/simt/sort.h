/* sort.h - what sort.c and sort.cl both know of sorting. */
#ifndef SIMT_SORT_H
#define SIMT_SORT_H

#define SORT_GROUP 256 /* items of a work group, and elements of a block */

/* Which element of a sorted line sort_choose takes. */
#define SORT_BY_RANK 0
#define SORT_MEDIAN 1
#define SORT_MODE 2

#endif
