// Goroutines that call two functions, with stacks that grow and a garbage collector at work meanwhile. Waits for a line of
// input; prints what it called and whether every result was right.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
)

const goroutines, rounds, depth = 8, 500, 200

// A leaf without a stack check: entered once for each call.
//
//go:noinline
func leaf(a, b int) int { return a*31 + b }

// Needs more stack than a goroutine begins with: the runtime moves the stack and enters the function again.
//
//go:noinline
func grow(n int) int {
	var room [64]int
	room[n%64] = n
	if n == 0 {
		return leaf(room[0], 1)
	}
	return grow(n-1) + room[n%64]
}

func work(wrong *int) {
	for i := 0; i < rounds; i++ {
		fresh := make(chan int)
		go func() { fresh <- grow(depth) }()
		if <-fresh != depth*(depth+1)/2+1 {
			*wrong++
		}
		if i%100 == 0 {
			runtime.GC()
		}
		text := strings.Repeat("x", 100+i)
		if leaf(len(text), i) != (100+i)*31+i {
			*wrong++
		}
	}
}

func main() {
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	var group sync.WaitGroup
	wrong := make([]int, goroutines)
	for i := range wrong {
		group.Add(1)
		go func(i int) { work(&wrong[i]); group.Done() }(i)
	}
	group.Wait()
	sum := 0
	for _, one := range wrong {
		sum += one
	}
	fmt.Printf("done: %d of leaf, %d of grow, %d wrong\n", 2*goroutines*rounds, goroutines*rounds*(depth+1), sum)
	bufio.NewReader(os.Stdin).ReadString('\n')
}
